// Incompressible bytes.

const BLOCK = 64 * 1024;

/** At least this many bytes. */
export function noise(bytes: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(bytes / BLOCK) }, () => crypto.getRandomValues(new Uint8Array(BLOCK)));
  return Buffer.concat(blocks);
}
