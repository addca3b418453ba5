// verify.cjs SECRET FILE: verifies webhooks ([{raw, headers}]) with the specification's own library, and their forgeries.
const { readFileSync } = require("node:fs");
const { Webhook } = require("standardwebhooks");

const [secret, file] = process.argv.slice(2);
const webhook = new Webhook(secret);
const counts = { verified: 0, refused: 0, forgedRefused: 0 };

const verifies = (raw, headers) => {
  try {
    webhook.verify(raw, headers);
    return true;
  } catch {
    return false;
  }
};

for (const { raw, headers } of JSON.parse(readFileSync(file, "utf8"))) {
  counts[verifies(raw, headers) ? "verified" : "refused"] += 1;
  if (!verifies(`${raw} `, headers)) counts.forgedRefused += 1;
}
console.log(JSON.stringify(counts));
