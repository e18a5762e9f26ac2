// The chat is the browser's: nothing of it is rendered before.
export const wrapRootElement = ({ element }) => element;
