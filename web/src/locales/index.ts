/** All languages but English: a script of its own, loaded where one of them is spoken. */
export { ar } from "./ar";
export { de } from "./de";
export { ja } from "./ja";
