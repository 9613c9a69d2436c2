// install-from.ts URL PASSWORD: publishes packages of rattler-build to a server and installs them with py-rattler.
// For servers that the tests do not start themselves, such as a container.

import { join } from "node:path";
import { z } from "zod";
import { createMachine, curl, python } from "./clients.ts";
import { realPackages } from "./packages.ts";

const [url = "", password = ""] = process.argv.slice(2);
const { all } = await realPackages();
for (const { path } of all) {
  const target = `${url}/api/packages/admin/conda/real/`;
  const answer = await curl("--user", `admin:${password}`, "--upload-file", path, target);
  if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${answer.body}`);
}
for (const channel of [`${url}/admin/real`, `${url}/api/packages/admin/conda/real`]) {
  const machine = await createMachine();
  const installed = z.object({ files: z.array(z.string()) });
  const { files } = await python("install.py", [channel, join(machine.home, "prefix"), "greeter"], installed, machine);
  if (files.length === 0) throw new Error(`nothing was installed from ${channel}`);
  await machine.remove();
}
