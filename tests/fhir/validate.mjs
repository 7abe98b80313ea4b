// Validates a FHIR bundle against the official JSON schema of its release.
// Usage: node validate.mjs r4|r5 FILE. Exits with 0 if it is valid, 1 with reasons if not, 2 if it was called wrongly.
// HL7's JSON schemas do not require primitive fields, such as `status`, as an extension may stand in for them: validate.py finds those.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

// The schema's own `oneOf` over all resources reports every resource's errors, so each resource is checked by its own definition.
function validatorOfR5() {
  const Ajv = require('ajv');
  const schema = require('hl7.fhir.r5.core/openapi/fhir.schema.json');
  const ajv = new Ajv({ allErrors: true, schemaId: 'auto', unknownFormats: 'ignore', logger: false });
  ajv.addMetaSchema(require('ajv/lib/refs/json-schema-draft-06.json'));
  ajv.addSchema(schema);
  return (resource) => {
    const validate = ajv.getSchema(`${schema.id}#/definitions/${resource.resourceType}`);
    if (!validate) return [{ message: `unknown resource type ${resource.resourceType}` }];
    return validate(resource) ? [] : validate.errors;
  };
}

function validatorOfR4() {
  const Validator = require('@asymmetrik/fhir-json-schema-validator');
  const validator = new Validator();
  return (resource) => validator.validate(resource) ?? [];
}

const [release, file] = process.argv.slice(2);
const makers = { r4: validatorOfR4, r5: validatorOfR5 };
if (!file || !makers[release]) {
  console.error('usage: node validate.mjs r4|r5 FILE');
  process.exit(2);
}
const bundle = JSON.parse(readFileSync(file, 'utf8'));
const validate = makers[release]();
const resources = [bundle, ...(bundle.entry ?? []).map((entry) => entry.resource)];
let failures = bundle.resourceType === 'Bundle' ? 0 : 1;
if (failures) console.error('not a Bundle');
for (const resource of resources) {
  for (const error of validate(resource)) {
    failures += 1;
    if (failures <= 20) console.error(`${resource.resourceType}: ${error.dataPath ?? ''} ${error.message} ${JSON.stringify(error.params ?? {})}`);
  }
}
console.log(`${release}: ${resources.length} resources, ${failures} failures`);
process.exit(failures ? 1 : 0);
