module.exports = { siteMetadata: { title: "Garden", kitfox: process.env.GATSBY_KITFOX || "http://localhost:8000" } };
