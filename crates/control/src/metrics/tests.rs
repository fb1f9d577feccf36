use super::*;

#[test]
fn pushes_and_rejections_are_counted_by_type() {
    let metrics = Metrics::default();

    metrics.answered(TypeUrl::Route, true);
    metrics.answered(TypeUrl::Route, false);
    let page = metrics.render(Gauges { proxies: 3, ..Gauges::default() });

    assert!(page.contains("\npilot_xds_pushes{type=\"rds\"} 2\n"), "{page}");
    assert!(page.contains("\npilot_total_xds_rejects 1\n"), "{page}");
    assert!(page.contains("\npilot_xds 3\n"), "{page}");
}

#[test]
fn a_duration_is_counted_in_every_bucket_that_holds_it() {
    let metrics = Metrics::default();

    metrics.converged(Duration::from_millis(700));
    let page = metrics.render(Gauges::default());

    assert!(page.contains("pilot_proxy_convergence_time_bucket{le=\"0.5\"} 0\n"), "{page}");
    assert!(page.contains("pilot_proxy_convergence_time_bucket{le=\"1\"} 1\n"), "{page}");
    assert!(page.contains("pilot_proxy_convergence_time_bucket{le=\"+Inf\"} 1\n"), "{page}");
    assert!(page.contains("pilot_proxy_convergence_time_count 1\n"), "{page}");
}
