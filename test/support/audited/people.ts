// Changes of users, their tokens and their second factor.

import type { RequestActor } from "../../../src/services/actor.ts";
import { basic, PASSWORD } from "../app.ts";
import { buildPackage } from "../package-builder.ts";
import { authenticator, type App } from "../two-factor.ts";
import { succeeded, type AuditedCases, type Stage } from "./case.ts";

const NO_LIMITS = { scopes: [], channels: [], packages: [], lifetime: undefined };
const built = buildPackage({ name: "pkg", version: "3" });

let app: App | undefined;
let recoveryCodes: readonly string[] = [];

export const PEOPLE_CASES: AuditedCases = [
  [
    "users.create",
    {
      rows: ["user.create third"],
      run: ({ server, actor }) => server.app.users.create(actor, { name: "third", password: PASSWORD, isAdmin: false }),
    },
  ],
  [
    "tokens.create",
    {
      rows: ["token.create third"],
      run: ({ server, actor }) => server.app.tokens.create(actor, { ...NO_LIMITS, user: "third", name: "one" }),
    },
  ],
  [
    "tokens.issue",
    {
      rows: ["token.create third"],
      run: ({ server, actor }) => server.app.tokens.issue(actor, { ...NO_LIMITS, user: "third", name: "two" }),
    },
  ],
  [
    "tokens.revoke",
    { rows: ["token.revoke third"], run: ({ server, actor }) => server.app.tokens.revoke(actor, "third", "one") },
  ],
  [
    "tokens.revokeAll",
    { rows: ["token.revoke third"], run: ({ server, actor }) => server.app.tokens.revokeAll(actor, "third") },
  ],
  [
    "users.setPassword",
    {
      rows: ["user.password third"],
      run: ({ server, actor }) => server.app.users.setPassword(actor, "third", PASSWORD),
    },
  ],
  [
    "users.setDisabled",
    { rows: ["user.disable third"], run: ({ server, actor }) => server.app.users.setDisabled(actor, "third", true) },
  ],
  [
    "users.setDisabled, back",
    { rows: ["user.enable third"], run: ({ server, actor }) => server.app.users.setDisabled(actor, "third", false) },
  ],
  [
    "users.setHidden",
    { rows: ["user.hide third"], run: ({ server, actor }) => server.app.users.setHidden(actor, "third", true) },
  ],
  [
    "users.setHidden, back",
    { rows: ["user.unhide third"], run: ({ server, actor }) => server.app.users.setHidden(actor, "third", false) },
  ],
  [
    "users.change of everything",
    {
      rows: ["user.password third", "user.enable third", "user.unhide third", "user.settings third"],
      run: ({ server, actor }) =>
        server.app.users.change(actor, "third", {
          password: PASSWORD,
          disabled: false,
          hidden: false,
          isAdmin: false,
          mustChangePassword: false,
          displayName: "Third",
          email: "third@example.org",
          visibility: "internal",
        }),
    },
  ],
  [
    "users.unlock",
    {
      rows: ["user.unlock third"],
      also: "SELECT * FROM login_failure WHERE failures > 0 AND bucket NOT LIKE 'address:%'",
      prepare: ({ server }) => server.anonymous.get("/api/v1/user", basic("third", "a-wrong-password")),
      run: ({ server, actor }) => server.app.users.unlock(actor, "third"),
    },
  ],
  [
    "twoFactor.confirm",
    {
      by: "third",
      rows: ["two-factor.enable third"],
      prepare: begin,
      run: async (stage) =>
        void (recoveryCodes = await stage.server.app.twoFactor.confirm(await asThird(stage), codeNow())),
    },
  ],
  [
    "a login with a recovery code",
    {
      by: "third",
      rows: ["two-factor.recovery third"],
      run: ({ server }) => {
        const code = { "x-gitea-otp": recoveryCodes[0] ?? "" };
        return succeeded(server.anonymous.get("/api/v1/user", { ...basic("third", PASSWORD), ...code }));
      },
    },
  ],
  [
    "twoFactor.disable",
    {
      by: "third",
      rows: ["two-factor.disable third"],
      run: async (stage) => await stage.server.app.twoFactor.disable(await asThird(stage), CODE_OF_LOGIN),
    },
  ],
  [
    "twoFactor.reset",
    {
      rows: ["two-factor.reset third"],
      prepare: async (stage) => {
        await begin(stage);
        await stage.server.app.twoFactor.confirm(await asThird(stage), codeNow());
      },
      run: ({ server, actor }) => server.app.twoFactor.reset(actor, "third"),
    },
  ],
];

/** They end the account that other cases use. */
export const LAST_PEOPLE_CASES: AuditedCases = [
  [
    "users.rename",
    { rows: ["user.rename renamed"], run: ({ server, actor }) => server.app.users.rename(actor, "third", "renamed") },
  ],
  [
    "names.release",
    { rows: ["name.release third"], run: ({ server, actor }) => server.app.names.release(actor, "third") },
  ],
  [
    "users.remove",
    { rows: ["user.delete renamed"], run: ({ server, actor }) => server.app.users.remove(actor, "renamed") },
  ],
  [
    "users.remove with channels",
    {
      inSteps: true,
      rows: ["delete fourth/main", "channel.delete fourth/main", "user.delete fourth"],
      prepare: async ({ server }) => {
        const fourth = await server.addUser("fourth");
        await succeeded(fourth.put(`/api/packages/fourth/conda/main/${built.fileName}`, built.bytes));
      },
      run: ({ server, actor }) => server.app.users.remove(actor, "fourth", { purge: true }),
    },
  ],
];

/** A code that the request has used up is not asked for again. */
const CODE_OF_LOGIN = "123456";

async function asThird({ people, actor }: Stage): Promise<RequestActor> {
  const third = await people.user("third");
  if (third.kind !== "request" || third.identity.kind !== "user") throw new Error("third is no user");
  return { ...actor, identity: { ...third.identity, code: CODE_OF_LOGIN } };
}

async function begin(stage: Stage): Promise<void> {
  const { uri } = await stage.server.app.twoFactor.begin(await asThird(stage));
  app = authenticator(uri, Date.now);
}

function codeNow(): string {
  return app?.code() ?? "";
}
