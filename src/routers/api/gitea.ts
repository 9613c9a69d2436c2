// The shapes of Gitea's API. Members without a meaning here have the value that Gitea gives to what was never set.

import type { Profile } from "../../services/profiles.ts";
import type { TokenInfo } from "../../services/tokens.ts";
import { urlBelow } from "../../modules/http/url.ts";
import { timeOf } from "./answers.ts";

const NEVER = "0001-01-01T00:00:00Z";

export function giteaUser({ id, name, displayName, created, details, ...rest }: Profile, publicUrl: string) {
  const visibility = rest.visibility === "internal" ? "limited" : rest.visibility;
  const { email, isAdmin, disabled, hidden, mustChangePassword } = details ?? {};
  return {
    id,
    login: name,
    username: name,
    full_name: displayName,
    email: email ?? "",
    login_name: "",
    source_id: 0,
    avatar_url: "",
    html_url: urlBelow(publicUrl, name),
    language: "",
    is_admin: isAdmin ?? false,
    active: details ? !disabled : false,
    prohibit_login: disabled ?? false,
    ...(details && { must_change_password: mustChangePassword, hidden }),
    restricted: false,
    last_login: NEVER,
    created: timeOf(created),
    location: "",
    website: "",
    description: "",
    visibility,
    followers_count: 0,
    following_count: 0,
    starred_repos_count: 0,
  };
}

/** `token` is its text, which only the answer to its creation has. */
export function giteaToken({ id, name, lastEight, channels, packages, ...rest }: TokenInfo, token = "") {
  return {
    id,
    name,
    sha1: token,
    token_last_eight: lastEight,
    scopes: rest.scopes.length === 0 ? ["read:package"] : rest.scopes,
    channels,
    packages,
    created_at: timeOf(rest.created),
    expires_at: timeOf(rest.expires),
    last_used_at: timeOf(rest.lastUsed),
  };
}
