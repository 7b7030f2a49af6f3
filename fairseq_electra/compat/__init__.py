"""All changes to fairseq.

One file for each subject. It names the function of fairseq, what is wrong with it, and what is done instead.
A test fails once fairseq no longer needs the change. Most are in tests/compat.
"""

import functools

from fairseq_electra.checkpoints import allow_plain_data
from fairseq_electra.compat import (
    atomic_saves,
    batch_sizes,
    best_metric,
    collectives,
    command_line,
    constant_predictions,
    crash_files,
    damaged_checkpoints,
    distributed,
    dummy_batches,
    gradient_checks,
    gradient_norms,
    language_means,
    metrics,
    nan_detector,
    nonfinite_rows,
    out_of_memory,
    patience,
    prefetch,
    quiet,
    ranking_heads,
    readers,
    resumed_epochs,
    same_run,
    save_folder,
    seeds,
    sentence_data,
    sentence_metrics,
    shared_memory,
    speeds,
    starts,
    stopping,
    summed_losses,
    task_state,
    tracebacks,
    training_rows,
    tuned_for,
    units,
    unwritable_folder,
    update_groups,
    vocabulary_copy,
    weight_average,
)


@functools.cache  # a second call would wrap everything once more
def apply() -> None:
    """Make all changes, once in a process.

    Each change wraps what it finds. Where several change the same function, the last one is the outermost: it
    is entered first. The order is free between blocks, and within a block unless it gives a reason.
    """
    # the command line and what is printed
    tracebacks.print_input_errors_without_traceback()
    command_line.check_command_lines()
    quiet.hide_details()

    # the gradients of an update; Trainer.__init__ as well, so before those below
    summed_losses.sum_losses_if_asked()

    # the start of a run, Trainer.__init__: a stop is reported from the first moment (outermost), and the
    # folder is locked before anything is built
    best_metric.check_best_metric()
    save_folder.lock_save_folder()
    stopping.print_how_to_resume()

    # the start of a run, other functions
    starts.check_before_training()
    unwritable_folder.explain_unwritable_folder()
    shared_memory.send_batches_in_one_piece()
    readers.stop_readers_at_exit()
    distributed.start_processes_on_cpus()
    collectives.gather_without_gpu()
    collectives.broadcast_checkpoints()
    collectives.sum_stats_without_waiting()

    # batches
    batch_sizes.keep_batch_sizes()
    batch_sizes.keep_last_batches()
    prefetch.copy_batches_ahead()
    resumed_epochs.record_batching()
    resumed_epochs.resume_with_unread_rows()
    update_groups.count_remaining_updates()
    training_rows.validate_on_separate_dataset()
    dummy_batches.skip_in_fairseq_validate()

    # an update, Trainer.train_step: an update that is repeated for its gradients must write its rows, so
    # these are innermost; it must be repeated without its dummy batches, so these are dropped outside of it
    nonfinite_rows.write_rows_of_nonfinite_losses()
    gradient_checks.check_gradients_later()
    dummy_batches.drop_from_updates()
    out_of_memory.stop_when_out_of_memory()
    seeds.seed_only_own_device()
    nan_detector.detect_without_graphs()

    # metrics
    gradient_norms.log_gradient_norms()
    metrics.compute_stats_lazily()
    metrics.register_meter()
    metrics.save_metrics_as_numbers()
    speeds.exclude_validation_time()
    language_means.judge_by_mean_of_languages()

    # checkpoints, saved: crash.pt must be refused before Trainer.save_checkpoint waits for the gradients
    # (gradient_checks, above); the speeds exclude all that is done in a save, so their change is the
    # outermost
    crash_files.skip_crash_files_of_input_errors()
    atomic_saves.save_atomically()
    stopping.record_saves()
    vocabulary_copy.copy_vocabulary_beside_checkpoints()
    tuned_for.keep_labels_in_checkpoints()
    speeds.exclude_saving_time()

    # checkpoints, loaded
    allow_plain_data()
    damaged_checkpoints.explain_damaged_checkpoints()
    weight_average.start_average_from_weights()
    task_state.restore_task_state()
    same_run.refuse_other_runs()
    units.drop_best_score_in_old_units()
    patience.keep_patience_across_restarts()

    # fairseq's tasks for sentences
    constant_predictions.warn_of_constant_predictions()
    sentence_metrics.gather_predictions()
    sentence_metrics.correlate_single_examples()
    sentence_metrics.log_losses_in_nats()
    sentence_data.check_before_loading()
    sentence_data.check_before_setup()
    ranking_heads.name_ranking_heads()
