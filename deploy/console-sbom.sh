#!/bin/sh
# Writes the console's bill of materials, CycloneDX in JSON, to standard output: the packages that
# end up in the browser. Equal for equal sources: no number of its own, and the time is
# SOURCE_DATE_EPOCH.
#
#     console-sbom.sh FOLDER      the console
set -eu

cd "$1"
npm sbom --package-lock-only --omit=dev --sbom-format=cyclonedx --sbom-type=application | node -e '
    const bill = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    delete bill.serialNumber;
    bill.metadata.timestamp = new Date(1000 * (process.env.SOURCE_DATE_EPOCH || 0)).toISOString();
    console.log(JSON.stringify(bill, null, 2));
'
