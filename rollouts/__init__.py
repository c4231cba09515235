"""Rollouts: a target becomes an action, a clip, a reward and a record. Framework-free.

action       AudioAction, and how it compiles to one backend's request
messages     what the language model is asked
parser       its answer, read: any text gives an action or says why not; repairs.py has the rules
collect      collect_group: one target, n answers, one batch of clips, one judgement
cost         what a clip took, and how much of its reward is charged for it
drafts       its stages: equal requests found, clips made, clips judged
episode      several turns: propose, hear the critic, revise
critic       a report as a short message the language model can act on
studio       what a group is collected with: backend, reward, store, memory; Ask and Completion
guarded      the two calls that may break, and the gate every report passes
record       Rollout and Group: one JSON line, everything needed to make it again
facts        what a run must keep when it goes on
store        the run folder; survives kill -9 and a full disk
run          run_rollouts: a whole run, resumable, with a progress bar (progress.py)
replay       make the clips again and compare them byte for byte
report       report.html (report_view: words, report_media: sound and picture, report_plots: SVG)
export       a run's rollouts as SFT and DPO rows
tables       small tables for the report and the README
optimize     which settings of a generator are worth their cost: measure (the objective),
             measurements (kept on disk), recommend (which three are presets)
errors       what the person at the keyboard has to act on

For training environments, framework-free too:
session      the items of an environment's run, resumable; session_config: what it is asked to do
evaluation   what the policy is worth on held-out targets
desk         answers in, judged rollouts out, from any thread: what adapters/ is made of
settings     what a user can set
pool         which targets, in which order
curriculum   which difficulty next, so that the policy succeeds at a wanted rate
leaving      one item becomes one group that leaves, or it is written down why not
outgoing     the gate every group leaves through
delivery     sends groups to the trainer's API, each at most once; trainer_api: what it says there
ledger       what became of each group, on disk; unsettled: what an earlier start left behind
draining     SIGTERM: finish what is in flight, then end
keeping      which clips stay on disk
metrics      what is logged of groups
board        metrics.jsonl always and a tracker when one works; pictures: what it shows
trackio_logger  the tracker without an account; W&B's is in utils
backoff      patience with failing services
launch       what surrounds a command: keys, quiet libraries, one-line errors
"""
