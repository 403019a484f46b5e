//! Access to the maps, without saying where they live.
