// condarium version

import { Command } from "commander";
import { name, version } from "../../package.json";
import type { Output } from "./output.ts";

export function versionText(): string {
  return `${name} ${version} (bun ${Bun.version}, ${process.platform} ${process.arch})`;
}

export function versionCommand(output: Output): Command {
  return new Command("version").description("print the version").action(() => output.line(versionText()));
}
