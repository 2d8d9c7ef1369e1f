"""Run folders and what lies in them: files, locks, logs, snapshots; progress and polite stops."""
