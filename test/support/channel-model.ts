// A minimal model of the channels and of who sees what: the server must always be in a state that some order of the
// same steps leads to.

export type Step =
  | { readonly kind: "publish"; readonly channel: string; readonly file: string; readonly sha256: string }
  | { readonly kind: "delete"; readonly channel: string; readonly file: string }
  | { readonly kind: "show"; readonly channel: string; readonly isPublic: boolean };

/** The status, and for an existing name whether the bytes are the same. */
export type StepAnswer = string;

/** By channel: whether it is public, and the hash of each file. Undefined before its first publish. */
export type ModelState = Readonly<
  Record<string, { readonly isPublic: boolean; readonly files: Readonly<Record<string, string>> } | undefined>
>;

export function apply(state: ModelState, step: Step): { readonly state: ModelState; readonly answer: StepAnswer } {
  const channel = state[step.channel];
  switch (step.kind) {
    case "publish": {
      const { isPublic = true, files = {} } = channel ?? {};
      const there = files[step.file];
      if (there !== undefined) return { state, answer: `409 ${there === step.sha256}` };
      const next = { isPublic, files: { ...files, [step.file]: step.sha256 } };
      return { state: { ...state, [step.channel]: next }, answer: "201" };
    }
    case "delete": {
      if (!channel) return { state, answer: "403" };
      if (channel.files[step.file] === undefined) return { state, answer: "404" };
      const { [step.file]: _, ...files } = channel.files;
      return { state: { ...state, [step.channel]: { ...channel, files } }, answer: "204" };
    }
    case "show": {
      if (!channel) return { state, answer: "404" };
      return { state: { ...state, [step.channel]: { ...channel, isPublic: step.isPublic } }, answer: "200" };
    }
  }
}

/** Every state that some order of concurrent steps leads to with exactly these responses. */
export function outcomes(
  state: ModelState,
  steps: readonly Step[],
  answers: readonly StepAnswer[],
): readonly ModelState[] {
  if (steps.length === 0) return [state];
  return steps.flatMap((step, at) => {
    const made = apply(state, step);
    return made.answer === answers[at] ? outcomes(made.state, steps.toSpliced(at, 1), answers.toSpliced(at, 1)) : [];
  });
}
