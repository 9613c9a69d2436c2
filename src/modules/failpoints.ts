// Deliberate faults for crash tests: `p4.renamed=kill@2,p6.in_tx=throw`. Only test builds can enable them.

type Fault = { readonly act: "kill" | "throw"; readonly at: number };

/** Errors: when the specification is invalid, so that a mistyped test never passes. */
export function createFailpoints(specification: string): (name: string) => void {
  const faults = new Map(specification.split(",").map(parseFault));
  const seen = new Map<string, number>();
  return (name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    const fault = faults.get(name);
    if (fault?.at !== count) return;
    if (fault.act === "throw") throw new Error(`failpoint ${name}`);
    process.kill(process.pid, "SIGKILL");
  };
}

function parseFault(text: string): [string, Fault] {
  const match = /^([\w.]+)=(kill|throw)(?:@(\d+))?$/.exec(text.trim());
  const [, name, act, at] = match ?? [];
  if (name === undefined || (act !== "kill" && act !== "throw")) throw new Error(`invalid failpoint: ${text}`);
  return [name, { act, at: Number(at ?? 1) }];
}
