// The invariants of the stored data, by the codes that findings begin with.

export const INVARIANTS: Readonly<Record<string, string>> = {
  "I-1": "The database is intact and configured for durable commits.",
  "I-2": "Every package file has its stored content, of the recorded size.",
  "I-3": "Stored content is identical to what was published.",
  "I-4": "Stored content that no package file uses is deleted in time.",
  "I-5": "Temporary files are deleted once their upload has ended.",
  "I-6": "Index documents list exactly the packages in the database, with their records.",
  "I-7": "Index documents and shards match the files that they name: name, hash and size.",
  "I-10": "Every package file has a section and metadata that its package type can have.",
  "I-11": "Every channel and account has an owner, and every organization has people in its team Owners.",
  "I-12": "Team places, roles, tokens and second factors belong to accounts that exist, and can be read.",
  "I-13": "Tokens and recovery codes are stored as SHA-256, passwords as argon2id, and no text holds a token.",
  "I-19": "A backup contains exactly the rows and contents that it lists.",
};
