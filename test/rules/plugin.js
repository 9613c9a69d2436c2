// Lint rules no stock plugin has: mistakes that lose data without an error.

const noAsyncTransaction = {
  meta: { messages: { found: "An async callback in transaction() commits at its first await: use transact()." } },
  create: (context) => ({
    CallExpression(node) {
      const { callee } = node;
      if (callee.type !== "MemberExpression" || callee.property.name !== "transaction") return;
      context.report({ node, messageId: "found" });
    },
  }),
};

const noFileSink = {
  meta: { messages: { found: "A full disk makes Bun.write and FileSink lose bytes silently: use a FileHandle." } },
  create: (context) => ({
    CallExpression(node) {
      const { callee } = node;
      if (callee.type !== "MemberExpression" || !context.filename.includes("/src/")) return;
      const isBunWrite = callee.object.name === "Bun" && callee.property.name === "write";
      if (isBunWrite || callee.property.name === "writer") context.report({ node, messageId: "found" });
    },
  }),
};

export default {
  meta: { name: "condarium" },
  rules: { "no-async-transaction": noAsyncTransaction, "no-file-sink": noFileSink },
};
