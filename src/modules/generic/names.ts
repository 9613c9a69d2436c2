// Valid names of generic packages, versions and files: those that Gitea accepts.
// https://docs.gitea.com/usage/packages/generic

import { foldCase } from "../fold-case.ts";

const PACKAGE_NAME = /^[-_+.A-Za-z0-9]+$/;
const FILE_NAME = /^[-_+=:;.()[\]{}~!@#$%^& A-Za-z0-9]+$/;
const LONGEST = 255;

export type GenericName = { readonly name: string; readonly version: string; readonly fileName: string };

/** Says which name is invalid and why; undefined when all are valid. */
export function genericNameProblem({ name, version, fileName }: GenericName): string | undefined {
  if ([name, version, fileName].some((text) => text.length > LONGEST))
    return `a package name, a version and a file name have at most ${LONGEST} characters each`;
  if (!isPackageName(name)) return "a package name contains only A-Z, a-z, 0-9, dots, hyphens, pluses and underscores";
  if (version === "" || version.trim() !== version)
    return "a version must not be empty, and must not start or end with a space";
  if (!isFileName(fileName))
    return "a file name contains only A-Z, a-z, 0-9, spaces and -_+=:;.()[]{}~!@#$%^&, and no space at either end";
  return undefined;
}

/** The section of a version. Gitea compares package names and versions case-insensitively. */
export function genericSection({ name, version }: Pick<GenericName, "name" | "version">): string {
  return `${foldedName(name)}/${foldCase(version)}`;
}

/** Whether `genericSection()` of valid names returns this text. */
export function isGenericSection(section: string): boolean {
  const slash = section.indexOf("/");
  if (slash === -1) return false;
  const [name, version] = [section.slice(0, slash), section.slice(slash + 1)];
  return (
    genericNameProblem({ name, version, fileName: "file" }) === undefined &&
    genericSection({ name, version }) === section
  );
}

/** The name as stored and as compared with the packages of a token. */
export function foldedName(name: string): string {
  return foldCase(name);
}

function isPackageName(text: string): boolean {
  return PACKAGE_NAME.test(text) && text !== ".." && (text.length > 1 || /[A-Za-z0-9]/.test(text));
}

function isFileName(text: string): boolean {
  return FILE_NAME.test(text) && text.trim() === text && text !== "." && text !== "..";
}
