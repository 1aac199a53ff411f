mod specs;
mod steered;
