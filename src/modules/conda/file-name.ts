// The names that identify a package file: `{name}-{version}-{build}.{extension}`. https://conda.org/learn/ceps/cep-0026

import type { ArchiveFormat } from "./archive.ts";

export type FileNameParts = { readonly name: string; readonly version: string; readonly build: string };

const FORMATS: readonly ArchiveFormat[] = ["conda", "tar.bz2"];
const MAX_PART = 64;
const MAX_FILE_NAME = 211;

// Says what CEP 26's own pattern and its rule on consecutive separators say together, without that pattern's backtracking.
const PACKAGE_NAME = /^(?:_|_?[a-z0-9]+(?:[._-][a-z0-9]+)*[._-]?)$/;
const VERSION = /^[0-9a-z._+!]+$/;
const BUILD = /^[0-9A-Za-z._+]+$/;

/** Reads a file name from the right, as a name may hold hyphens; undefined when a part is outside CEP 26. */
export function parseFileName(fileName: string): (FileNameParts & { readonly format: ArchiveFormat }) | undefined {
  const format = formatOf(fileName);
  if (format === undefined || fileName.length > MAX_FILE_NAME) return undefined;
  const stem = fileName.slice(0, -format.length - 1);
  const beforeBuild = stem.lastIndexOf("-");
  const beforeVersion = stem.lastIndexOf("-", beforeBuild - 1);
  if (beforeVersion === -1) return undefined;
  const name = stem.slice(0, beforeVersion);
  const version = stem.slice(beforeVersion + 1, beforeBuild);
  const build = stem.slice(beforeBuild + 1);
  if (!isPackageName(name) || !isVersionText(version) || !isBuild(build)) return undefined;
  return { name, version, build, format };
}

export function buildFileName(parts: FileNameParts, format: ArchiveFormat): string {
  return `${parts.name}-${parts.version}-${parts.build}.${format}`;
}

/** The format a file name ends in, whatever stands before it. */
export function formatOf(fileName: string): ArchiveFormat | undefined {
  return FORMATS.find((format) => fileName.endsWith(`.${format}`));
}

/** The name of a distributable package; virtual ones (`__cuda`) are none. */
export function isPackageName(text: string): boolean {
  return text.length <= MAX_PART && PACKAGE_NAME.test(text);
}

/** Only the characters and the length; `parseVersion` knows the grammar. */
export function isVersionText(text: string): boolean {
  return text.length <= MAX_PART && VERSION.test(text);
}

export function isBuild(text: string): boolean {
  return text.length <= MAX_PART && BUILD.test(text);
}

/** Text to sort by: entries of documents are in the order of package names, then of file names, by bytes. */
export function orderKey(fileName: string): string {
  return `${packageNameOf(fileName)}\0${fileName}`;
}

/** The package of a file whose name is known to be sound. */
export function packageNameOf(fileName: string): string {
  return fileName.slice(0, fileName.lastIndexOf("-", fileName.lastIndexOf("-") - 1));
}

/** By code unit, never by language; for ASCII that is by bytes. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
