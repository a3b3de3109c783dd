// A document with schemas as in OpenAPI on stdin -> them as TypeScript on stdout; called by tools/api_types.py.
// Not openapi-typescript: it needs the compiler's JavaScript API of TypeScript 5, which TypeScript 7 does not have.
import { readFileSync } from "node:fs";
import { compile } from "json-schema-to-typescript";

// A tuple as Pydantic and JSON Schema 2020-12 write it -> as this compiler reads it.
const oldTuple = (_, value) => (value?.prefixItems ? { ...value, items: value.prefixItems, prefixItems: undefined } : value);
const { components } = JSON.parse(readFileSync(0, "utf8"), oldTuple);
for (const schema of Object.values(components.schemas)) {
  // Pydantic titles every property; each would become a type of its own.
  for (const property of Object.values(schema.properties ?? {})) delete property.title;
}
const properties = Object.fromEntries(
  Object.keys(components.schemas).map((name) => [name, { $ref: `#/components/schemas/${name}` }]),
);
const root = { type: "object", required: Object.keys(properties), properties, components };
const options = { additionalProperties: false, ignoreMinAndMaxItems: true, bannerComment: "" };
process.stdout.write(await compile(root, "Schemas", options));
