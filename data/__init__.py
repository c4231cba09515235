"""data: what is asked.

- `targets`: curated, users' own and procedural targets; start here.
- `brief`: what a target asks for, in typed fields.
- `families`: the kinds of sound and the words for them.
- `wording`: briefs into captions, free text into brief fields; `free_words`: the rules of
  words, negation and order; `word_meaning`: the nearest known word, by an optional model.
- `target_fields`: the Target, compiled field by field; `field_rules`: the rule of a single field.
- `target_files`: users' files, every problem with its line; `target_formats`: JSON, JSONL, YAML.
- `procedural`: endless targets with known ground truth.
- `presets`: named generation settings per category.
- `references`: the clips a style target is compared with.

Files: `target_styles.json`, `parameter_presets.json`, `prompt_templates.json`,
`evaluation_references/`, `models/` (embedded weights).
"""
