// @ts-check
/** @type {import("@docusaurus/types").Config} */
export default {
  title: "Manual",
  url: "https://docs.example.com",
  baseUrl: "/",
  onBrokenLinks: "throw",
  // What src/theme/Root.jsx reads.
  customFields: { kitfox: process.env.KITFOX_URL ?? "http://localhost:8000" },
  presets: [["classic", { docs: { routeBasePath: "/" }, blog: false, theme: { customCss: "./src/css/custom.css" } }]],
  themeConfig: { navbar: { title: "Manual" } },
};
