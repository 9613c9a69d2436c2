// Stands in for the `amdefine` package that compressjs asks for: static requires, so that a bundler sees every part.

const parts = {
  "./freeze": () => require("compressjs/lib/freeze.js"),
  "./BitStream": () => require("compressjs/lib/BitStream.js"),
  "./BWT": () => require("compressjs/lib/BWT.js"),
  "./CRC32": () => require("compressjs/lib/CRC32.js"),
  "./HuffmanAllocator": () => require("compressjs/lib/HuffmanAllocator.js"),
  "./Stream": () => require("compressjs/lib/Stream.js"),
  "./Util": () => require("compressjs/lib/Util.js"),
};

module.exports = (module) => (names, make) => {
  module.exports = make(...names.map((name) => parts[name]()));
};
