//! Transcripts and models of the queue.
