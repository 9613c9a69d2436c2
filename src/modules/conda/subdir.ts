// Subdirs: the platform folders of a channel. https://conda.org/learn/ceps/cep-0026

/** The subdirs that conda knows; in a URL only these cannot be a channel name. */
export const KNOWN_SUBDIRS: readonly string[] = [
  "noarch",
  "emscripten-wasm32",
  "wasi-wasm32",
  "freebsd-64",
  "linux-32",
  "linux-64",
  "linux-aarch64",
  "linux-armv6l",
  "linux-armv7l",
  "linux-ppc64",
  "linux-ppc64le",
  "linux-riscv64",
  "linux-s390x",
  "osx-64",
  "osx-arm64",
  "win-32",
  "win-64",
  "win-arm64",
  "zos-z",
];

const MAX_SUBDIR = 32;
const SUBDIR = /^[a-z0-9]+-[a-z0-9]+$/;

/** Whether the text is well-formed; the platform need not exist. */
export function isSubdir(text: string): boolean {
  return text === "noarch" || (text.length <= MAX_SUBDIR && SUBDIR.test(text));
}

/** `extra` are the subdirs that a server setting adds to conda's list. */
export function isKnownSubdir(text: string, extra: readonly string[] = []): boolean {
  return KNOWN_SUBDIRS.includes(text) || extra.includes(text);
}
