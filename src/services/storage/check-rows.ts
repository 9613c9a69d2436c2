// Checks the rows about people page by page: that they belong together (I-11, I-12) and hold no secrets (I-13).

import type { Reader } from "../../models/database.ts";
import {
  accountPages,
  channelPages,
  codePages,
  eventPages,
  factorPages,
  grantPages,
  memberPages,
  ownerPages,
  teamPages,
  tokenPages,
  type RowPages,
} from "../../models/row-pages.ts";
import type { Report } from "../index/repair/verify.ts";
import { OWNERS_FOLDED } from "../memberships.ts";
import { checkAccount, checkChannel, checkOwner } from "./check-owners.ts";
import { checkCode, checkFactor, checkGrant, checkMember, checkTeam, checkToken } from "./check-rights.ts";
import { checkCodeHash, checkEventTexts, checkOwnerTexts, checkChannelTexts } from "./check-secrets.ts";
import { checkPasswordHash, checkTokenHash } from "./check-secrets.ts";

type RowCheck<Row> = (row: Row, report: Report) => void;

/** All rows of one table. */
type TableCheck = {
  count(reader: Reader): Promise<number>;
  run(reader: Reader, report: Report, onRow: () => void): Promise<void>;
};

const PAGE = 500;

const TABLES: readonly TableCheck[] = [
  tableCheck(ownerPages(OWNERS_FOLDED), checkOwner, checkOwnerTexts),
  tableCheck(channelPages, checkChannel, checkChannelTexts),
  tableCheck(accountPages, checkAccount, checkPasswordHash),
  tableCheck(teamPages, checkTeam),
  tableCheck(memberPages, checkMember),
  tableCheck(grantPages, checkGrant),
  tableCheck(tokenPages, checkToken, checkTokenHash),
  tableCheck(factorPages, checkFactor),
  tableCheck(codePages, checkCode, checkCodeHash),
  tableCheck(eventPages, checkEventTexts),
];

export async function checkRows(
  reader: Reader,
  report: Report,
  onProgress: (done: number, total: number) => void,
): Promise<void> {
  let [done, total] = [0, 0];
  for (const table of TABLES) total += await table.count(reader);
  for (const table of TABLES) await table.run(reader, report, () => onProgress((done += 1), total));
}

function tableCheck<Row>(pages: RowPages<Row>, ...checks: readonly RowCheck<Row>[]): TableCheck {
  return {
    count: pages.count,
    run: async (reader, report, onRow) => {
      for (let page = await pages.page(reader, undefined, PAGE); page.length > 0;) {
        for (const row of page) {
          for (const check of checks) check(row, report);
          onRow();
        }
        page = await pages.page(reader, page.at(-1), PAGE);
      }
    },
  };
}
