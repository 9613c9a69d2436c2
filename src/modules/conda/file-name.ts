// The names that identify a package file: `{name}-{version}-{build}.{extension}`. https://conda.org/learn/ceps/cep-0026

import type { ArchiveFormat } from "./archive.ts";

export type FileNameParts = { readonly name: string; readonly version: string; readonly build: string };

const FORMATS: readonly ArchiveFormat[] = ["conda", "tar.bz2"];
const MAX_PART = 64;
const MAX_FILE_NAME = 211;

// Combines CEP 26's pattern with its rule on consecutive separators, and avoids the backtracking of that pattern.
const PACKAGE_NAME = /^(?:_|_?[a-z0-9]+(?:[._-][a-z0-9]+)*[._-]?)$/;
const VERSION = /^[0-9a-z._+!]+$/;
const BUILD = /^[0-9A-Za-z._+]+$/;

/** Parses a file name from the right, because a name can contain hyphens; undefined when a part violates CEP 26. */
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

/** Returns the format by the extension; does not check the rest of the name. */
export function formatOf(fileName: string): ArchiveFormat | undefined {
  return FORMATS.find((format) => fileName.endsWith(`.${format}`));
}

/** Whether a distributable package can have this name; virtual packages (`__cuda`) are excluded. */
export function isPackageName(text: string): boolean {
  return text.length <= MAX_PART && PACKAGE_NAME.test(text);
}

/** Checks only the characters and the length; `parseVersion` checks the grammar. */
export function isVersionText(text: string): boolean {
  return text.length <= MAX_PART && VERSION.test(text);
}

export function isBuild(text: string): boolean {
  return text.length <= MAX_PART && BUILD.test(text);
}

/** Sort key: documents order entries by package name, then by file name, in byte order. */
export function orderKey(fileName: string): string {
  return `${packageNameOf(fileName)}\0${fileName}`;
}

/** Returns the package name in a valid file name. */
export function packageNameOf(fileName: string): string {
  return fileName.slice(0, fileName.lastIndexOf("-", fileName.lastIndexOf("-") - 1));
}

/** Compares by code unit, independent of locale; equals byte order for ASCII. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
