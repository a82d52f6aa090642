//! How something grows with the number of nodes, as the exponent of a power.

/// The `e` of `y = c x^e` that fits best by least squares of the logarithms; `None` of fewer than two different `x`, or
/// where something is zero or less.
///
/// 0: it stays as it is; 1: twice the nodes, twice as much; 2: four times.
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|(x, y)| *x <= 0.0 || *y <= 0.0) {
        return None;
    }
    let logs: Vec<_> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = f64::from(u32::try_from(logs.len()).ok()?);
    let mean_x = logs.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = logs.iter().map(|(_, y)| y).sum::<f64>() / count;
    let across: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let along: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (along > 0.0).then(|| across / along)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(power: impl Fn(f64) -> f64) -> f64 {
        let points: Vec<_> = [10.0, 20.0, 50.0, 200.0].map(|x| (x, power(x))).into();
        exponent(&points).expect("positive points")
    }

    #[test]
    fn powers_have_their_exponents() {
        assert!((of(|x| 3.0 * x * x) - 2.0).abs() < 1e-9);
        assert!((of(|x| 7.0 * x.sqrt()) - 0.5).abs() < 1e-9);
        assert!(of(|_| 42.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_can_be_said_of_one_size_or_of_nothing() {
        assert_eq!(exponent(&[(10.0, 5.0)]), None);
        assert_eq!(exponent(&[(10.0, 5.0), (20.0, 0.0)]), None);
    }
}
