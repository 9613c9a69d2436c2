// Replaces the `amdefine` package that compressjs requires: these requires are static, so a bundler finds every file.

const parts = {
  "./freeze": () => require("compressjs/lib/freeze.js"),
  "./BitStream": () => require("compressjs/lib/BitStream.js"),
  "./BWT": () => require("compressjs/lib/BWT.js"),
  "./CRC32": () => require("compressjs/lib/CRC32.js"),
  "./HuffmanAllocator": () => require("compressjs/lib/HuffmanAllocator.js"),
  "./Stream": () => require("compressjs/lib/Stream.js"),
  "./Util": () => require("compressjs/lib/Util.js"),
};

module.exports = (module) => (names, factory) => {
  module.exports = factory(...names.map((name) => parts[name]()));
};
