// What generic packages, versions and files may be called: what Gitea takes.
// https://docs.gitea.com/usage/packages/generic

const PACKAGE_NAME = /^[-_+.A-Za-z0-9]+$/;
const FILE_NAME = /^[-_+=:;.()[\]{}~!@#$%^& A-Za-z0-9]+$/;
const LONGEST = 255;

export type GenericName = { readonly name: string; readonly version: string; readonly fileName: string };

/** What is wrong with the names; undefined when nothing is. */
export function genericNameProblem({ name, version, fileName }: GenericName): string | undefined {
  if ([name, version, fileName].some((text) => text.length > LONGEST))
    return `a package name, a version and a file name have at most ${LONGEST} characters each`;
  if (!isPackageName(name)) return "a package name is of A-Z, a-z, 0-9, dot, hyphen, plus and underscore";
  if (version === "" || version.trim() !== version)
    return "a version is not empty and neither starts nor ends with a space";
  if (!isFileName(fileName))
    return "a file name is of A-Z, a-z, 0-9, space and -_+=:;.()[]{}~!@#$%^&, and neither starts nor ends with a space";
  return undefined;
}

/** The part of a channel that a version is. Gitea tells neither packages nor versions apart by case. */
export function genericSection({ name, version }: Pick<GenericName, "name" | "version">): string {
  return `${foldedName(name)}/${version.toLowerCase()}`;
}

/** As it is stored, and as tokens bound to packages are asked. */
export function foldedName(name: string): string {
  return name.toLowerCase();
}

function isPackageName(text: string): boolean {
  return PACKAGE_NAME.test(text) && text !== ".." && (text.length > 1 || /[A-Za-z0-9]/.test(text));
}

function isFileName(text: string): boolean {
  return FILE_NAME.test(text) && text.trim() === text && text !== "." && text !== "..";
}
