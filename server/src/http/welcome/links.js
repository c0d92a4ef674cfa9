// Behind a proxy this page may be at a path without a slash at its end, which the links do not expect.
if (!location.pathname.endsWith("/")) for (const link of document.links) link.href = `${location.pathname}/${link.getAttribute("href")}`;
