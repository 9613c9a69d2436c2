// The shapes of Gitea's API. Members without a meaning here have the value that Gitea gives to what was never set.

import type { OrganizationInfo } from "../../services/organizations.ts";
import type { Profile } from "../../services/profiles.ts";
import type { TeamInfo } from "../../services/teams.ts";
import type { TokenInfo } from "../../services/tokens.ts";
import type { VersionFileInfo, VersionInfo } from "../../services/versions.ts";
import { urlBelow } from "../../modules/http/url.ts";
import { timeOf } from "./answers.ts";

function giteaVisibility(visibility: Profile["visibility"]): "public" | "limited" | "private" {
  return visibility === "internal" ? "limited" : visibility;
}

const NEVER = "0001-01-01T00:00:00Z";

export function giteaUser({ id, name, displayName, created, details, ...rest }: Profile, publicUrl: string) {
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
    visibility: giteaVisibility(rest.visibility),
    followers_count: 0,
    following_count: 0,
    starred_repos_count: 0,
  };
}

export function giteaOrganization({ id, name, displayName, description, visibility }: OrganizationInfo) {
  return {
    id,
    name,
    username: name,
    full_name: displayName,
    description,
    email: "",
    avatar_url: "",
    website: "",
    location: "",
    visibility: giteaVisibility(visibility),
    repo_admin_change_team_access: false,
  };
}

/** Gitea has fewer rights for teams than there are roles. */
const PERMISSIONS = { reader: "read", publisher: "write", maintainer: "write", owner: "admin" } as const;

export function giteaTeam({ id, organization, name, role, channels, packages }: TeamInfo) {
  return {
    id,
    name,
    description: "",
    organization: { name: organization, username: organization },
    role,
    permission: PERMISSIONS[role],
    channels,
    packages,
    includes_all_repositories: channels.includes("*"),
    can_create_org_repo: role === "owner",
  };
}

export function giteaPackage(info: VersionInfo, owner: Profile | undefined, publicUrl: string) {
  const { id, type, channel, name, version } = info;
  return {
    id,
    owner: owner ? giteaUser(owner, publicUrl) : null,
    repository: null,
    creator: null,
    type,
    name: channel === "" ? name : `${channel}/${name}`,
    version,
    html_url: urlBelow(publicUrl, info.owner, ...(channel === "" ? [] : channel.split("/"))),
    created_at: timeOf(info.created),
  };
}

export function giteaFile({ id, section, fileName, size, md5, sha256 }: VersionFileInfo) {
  return { id, size, name: fileName, md5, sha256, subdir: section };
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
