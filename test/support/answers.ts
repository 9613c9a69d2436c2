// Reads responses in tests.

/** The JSON of a response, as the type the test expects and then checks. */
export async function jsonOf<T>(answer: Response): Promise<T> {
  return (await answer.json()) as T;
}

export async function bytesOf(answer: Response): Promise<Buffer> {
  return Buffer.from(await answer.arrayBuffer());
}
