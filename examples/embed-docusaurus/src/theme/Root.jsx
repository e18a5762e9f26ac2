import BrowserOnly from "@docusaurus/BrowserOnly";
import useDocusaurusContext from "@docusaurus/useDocusaurusContext";
import React from "react";

/** Around every page, and the same while the visitor goes from page to page. */
export default function Root({ children }) {
  const { siteConfig } = useDocusaurusContext();
  return (
    <>
      {children}
      <BrowserOnly>
        {() => {
          const { Chat } = require("../Chat");
          return <Chat server={siteConfig.customFields.kitfox} />;
        }}
      </BrowserOnly>
    </>
  );
}
