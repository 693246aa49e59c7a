//! The store held to its promises: a model, a driver that runs store and model in step, and what breaks in between.

mod cuts;
mod damage;
mod driver;
mod faults;
mod model;
mod random;
