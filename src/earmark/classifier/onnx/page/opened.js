"use strict";
// A classic script: a page that was opened as a file cannot load modules, which show all the rest.
if (location.protocol === "file:") {
  document.documentElement.classList.add("from-file");
}
