//! The shortest case that still breaks an invariant.
use super::{Case, invariant};
use crate::sim::{bank::HostFault, script::Customer};
use payterm_schema::paper::PrintResult;

/// A step towards less; true when there was something to do.
type Change = Box<dyn Fn(&mut Case) -> bool>;

impl Case {
    /// The shortest case that breaks the same invariant: whatever can be left out is.
    pub fn shrink(&self, why: &str) -> Case {
        let broken = invariant(why);
        let mut best = self.clone();
        let mut budget = 1_500;
        loop {
            let before = best.size();
            for change in best.changes() {
                let mut next = best.clone();
                if !change(&mut next) {
                    continue;
                }
                budget -= 1;
                if budget == 0 {
                    return best;
                }
                if next.run().1.is_some_and(|w| invariant(&w) == broken) {
                    best = next;
                }
            }
            if best.size() == before {
                return best;
            }
        }
    }

    /// Size of what there is to tell.
    fn size(&self) -> usize {
        let s = &self.script;
        let mishaps = |f: &[HostFault]| f.iter().filter(|f| **f != HostFault::Answer).count() + f.len();
        let prints = s.prints.iter().filter(|p| **p != PrintResult::Confirmed).count() + s.prints.len();
        usize::from(s.asks_after.is_some())
            + usize::from(s.commit_ms > 1)
            + 2 * s.orders.len()
            + mishaps(&s.faults)
            + mishaps(&s.sign_ins)
            + prints
            + s.inputs.len()
            + s.skews.len()
            + s.disk.len()
            + s.down.len()
            + self.cuts.len()
    }

    /// An index that is gone by then does nothing.
    fn changes(&self) -> Vec<Change> {
        fn without<T>(v: &mut Vec<T>, i: usize) -> bool {
            let there = i < v.len();
            if there {
                v.remove(i);
            }
            there
        }
        fn cut_to<T>(v: &mut Vec<T>, n: usize) -> bool {
            let longer = v.len() > n;
            v.truncate(n);
            longer
        }
        let mut all: Vec<Change> = Vec::new();
        let s = &self.script;
        for half in [0, s.faults.len() / 4, s.faults.len() / 2] {
            all.push(Box::new(move |c| cut_to(&mut c.script.faults, half)));
        }
        all.push(Box::new(|c| cut_to(&mut c.script.sign_ins, 0)));
        all.push(Box::new(|c| c.script.asks_after.take().is_some()));
        all.push(Box::new(|c| std::mem::replace(&mut c.script.commit_ms, 1) > 1));
        all.push(Box::new(|c| cut_to(&mut c.script.prints, 0)));
        all.push(Box::new(|c| cut_to(&mut c.script.inputs, 0)));
        all.push(Box::new(|c| cut_to(&mut c.script.skews, 0)));
        all.push(Box::new(|c| cut_to(&mut c.script.disk, 0)));
        all.push(Box::new(|c| cut_to(&mut c.cuts, 0)));
        all.push(Box::new(|c| cut_to(&mut c.script.down, 0)));
        for i in (0..s.orders.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.orders, i)));
        }
        for i in (0..s.inputs.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.inputs, i)));
        }
        for i in (0..s.disk.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.disk, i)));
        }
        for i in (0..self.cuts.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.cuts, i)));
        }
        for i in (0..s.faults.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.faults, i)));
            all.push(Box::new(move |c| {
                c.script
                    .faults
                    .get_mut(i)
                    .is_some_and(|f| std::mem::replace(f, HostFault::Answer) != HostFault::Answer)
            }));
        }
        for i in (0..s.sign_ins.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.sign_ins, i)));
        }
        for i in (0..s.prints.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.prints, i)));
        }
        for i in 0..s.orders.len() {
            all.push(Box::new(move |c| {
                let plain =
                    c.script.orders.get_mut(i).filter(|o| {
                        !matches!(o.customer, Customer::Swipes | Customer::Shows | Customer::Walks)
                    });
                plain
                    .is_some_and(|o| std::mem::replace(&mut o.customer, Customer::Swipes) != Customer::Swipes)
            }));
        }
        all
    }
}
