import type { NextConfig } from "next";

// The chat streams: a compression that waits for more would hold it back.
const config: NextConfig = { compress: false, turbopack: { root: import.meta.dirname } };

export default config;
