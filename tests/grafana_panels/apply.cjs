// Apply Grafana's own transformations and field matchers to panels: what a panel is given in the end.
// stdin: [{frames, transformations, overrides, units}]; stdout: the same number of
// {frames: [{name of a field: its values}], shown: [[name as displayed]], lost: [matcher that finds no field], unknown: [unit]}.
const {
  createDataFrame,
  fieldMatchers,
  getFieldDisplayName,
  getValueFormats,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} = require("@grafana/data");
const { firstValueFrom } = require("rxjs");
const { readFileSync } = require("node:fs");

// After the packages are read, which take one with a window for a browser's.
globalThis.window = { localStorage: { getItem: () => null } };
globalThis.localStorage = window.localStorage;

const UNITS = new Set(getValueFormats().flatMap((group) => group.submenu.map((unit) => unit.value)));

// By id: one of them goes by two names.
const TRANSFORMERS = new Map(Object.values(standardTransformers).map((one) => [one.id, one]));

standardTransformersRegistry.setInit(() =>
  [...TRANSFORMERS].map(([id, one]) => ({ id, name: one.name, transformation: async () => one, editor: () => null })),
);

async function applied({ frames, transformations, overrides, units }) {
  const asked = frames.map((frame) => createDataFrame(frame));
  const given = await firstValueFrom(transformDataFrame(transformations, asked, { interpolate: (text) => text }));
  const finds = ({ id, options }) => {
    const matches = fieldMatchers.get(id).get(options);
    return given.some((frame) => frame.fields.some((field) => matches(field, frame, given)));
  };
  return {
    frames: given.map((frame) => Object.fromEntries(frame.fields.map((field) => [field.name, field.values]))),
    shown: given.map((frame) => frame.fields.map((field) => getFieldDisplayName(field, frame, given))),
    lost: overrides.map((override) => override.matcher).filter((matcher) => !finds(matcher)),
    unknown: units.filter((unit) => !UNITS.has(unit)),
  };
}

Promise.all(JSON.parse(readFileSync(0)).map(applied)).then((answers) => console.log(JSON.stringify(answers)));
