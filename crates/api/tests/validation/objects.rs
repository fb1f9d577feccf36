//! From a row's message to the smallest object in which it stands where the rule looks at it.

use serde_json::{Map, Value, json};

/// The smallest object in which a row's message stands where the rule looks at it.
pub(crate) fn of(group: &str, input: &Value) -> Value {
    let route = || json!([{"destination": {"host": "a.b"}}]);
    let http = |field: &str, value: Value| {
        let mut entry = Map::from_iter([("route".to_owned(), route())]);
        entry.insert(field.to_owned(), value);
        virtual_service(json!([entry]))
    };
    let policy = |field: &str, value: &Value| rule(json!({field: value}));
    match group {
        "ServiceSettings" => mesh("serviceSettings", &json!([{"hosts": input["hosts"]}])),
        "ValidateCORSPolicy" => http("corsPolicy", input.clone()),
        "ValidateChainingVirtualService" | "ValidateVirtualService" => {
            object("VirtualService", input.clone())
        }
        "ValidateConnectionPool" => policy("connectionPool", input),
        "ValidateConnectionSettings" => mesh("defaultConfig", &json!({"connectionSettings": input["cs"]})),
        "ValidateDelegateHTTPRoute" => object("VirtualService", json!({"http": [input["route"]]})),
        "ValidateDestination" => virtual_service(json!([{"route": [input]}])),
        "ValidateDestinationRule" => object("DestinationRule", input.clone()),
        "ValidateFQDN" => object("DestinationRule", json!({"host": input["fqdn"]})),
        "ValidateGateway" => object("Gateway", input.clone()),
        "ValidateHTTPDirectResponse" => match &input["directResponse"] {
            Value::Null => http("directResponse", Value::Null),
            response => virtual_service(json!([{"directResponse": response}])),
        },
        "ValidateHTTPFaultInjectionAbort" => {
            http("fault", json!({"abort": input, "delay": {"fixedDelay": "1s"}}))
        }
        "ValidateHTTPFaultInjectionDelay" => http("fault", json!({"delay": input})),
        "ValidateHTTPHeaderValue" => http("headers", json!({"request": {"set": {"x": input["input"]}}})),
        "ValidateHTTPRedirect" => virtual_service(json!([{"redirect": input["redirect"]}])),
        "ValidateHTTPRetry" => http("retries", input.clone()),
        "ValidateHTTPRewrite" => http("rewrite", input.clone()),
        "ValidateHTTPRoute" | "ValidateRootHTTPRoute" => virtual_service(json!([input["route"]])),
        "ValidateHTTPStatus" => virtual_service(json!([{"directResponse": {"status": input}}])),
        "ValidateLoadBalancer" => policy("loadBalancer", input),
        "ValidateLocalities" => localities(input["localities"].as_array().unwrap()),
        "ValidateLocalityLbSetting" => policy("loadBalancer", &json!({"localityLbSetting": input["in"]})),
        "ValidateMeshConfigDefaultInboundHTTPRetryPolicy" => {
            mesh("defaultInboundHttpRetryPolicy", &input["retry"])
        }
        "ValidateMeshConfigDefaultTrafficPolicy" => mesh("defaultTrafficPolicy", &input["dtp"]),
        "ValidateMeshConfigProxyConfig" => mesh("defaultConfig", input),
        "ValidateOutlierDetection" => policy("outlierDetection", input),
        "ValidateProxyConfig" => object_of("ProxyConfig", "v1beta1", input.clone()),
        "ValidateRouteDestination" => virtual_service(json!([{"route": input["routes"]}])),
        "ValidateServer" => object("Gateway", json!({"servers": [input]})),
        "ValidateServerPort" => server(json!({"hosts": ["a.b"], "port": input["in"], "bind": input["bind"]})),
        "ValidateServiceEntries" => object("ServiceEntry", input.clone()),
        "ValidateSidecar" => {
            // Of one row's hosts some are in the object's own namespace.
            let mut sidecar = object("Sidecar", input.clone());
            sidecar["metadata"]["namespace"] = "bar".into();
            sidecar
        }
        "ValidateTLS" => policy("tls", &input["tls"]),
        "ValidateTlsOptions" => {
            let port = json!({"number": 443, "name": "https", "protocol": "HTTPS"});
            server(json!({"hosts": ["a.b"], "port": port, "tls": input}))
        }
        "ValidateTrafficPolicy" => rule(input.clone()),
        "ValidateUriRegexRewrite" => http("rewrite", json!({"authority": "a.b", "uriRegexRewrite": input})),
        "ValidateWildcardDomain" => gateway_bound(input),
        "ValidateWildcardDomainForVirtualServiceBoundToGateway" if input["sni"] == true => {
            sni_bound(&input["in"])
        }
        "ValidateWildcardDomainForVirtualServiceBoundToGateway" => gateway_bound(&input["in"]),
        "ValidateWorkloadEntry" => object("WorkloadEntry", input.clone()),
        "ValidateWorkloadGroup" => object("WorkloadGroup", input.clone()),
        "ValidateZoneAwareLbSetting" => rule(json!({
            "loadBalancer": {"simple": "RANDOM", "zoneAwareLbSetting": input["in"]},
            "outlierDetection": input["outlier"],
        })),
        "ValidationIPAddress" => {
            let port = json!({"number": 80, "name": "http", "protocol": "HTTP"});
            server(json!({"hosts": ["a.b"], "port": port, "bind": input["addr"]}))
        }
        "ValidationIPSubnet" => object(
            "VirtualService",
            json!({"hosts": ["a.b"], "tcp": [{"match": [{"destinationSubnets": [input["subnet"]]}], "route": route()}]}),
        ),
        "validateExportTo" => exported(input),
        _ => panic!("{group} has a kind and no object"),
    }
}

fn exported(input: &Value) -> Value {
    let export = &input["exportTo"];
    if input["isServiceEntry"] == true {
        let ports = json!([{"number": 80, "name": "http", "protocol": "HTTP"}]);
        return object("ServiceEntry", json!({"hosts": ["a.b"], "ports": ports, "exportTo": export}));
    }
    let selector = match input["isDestinationRuleWithSelector"] == true {
        true => json!({"matchLabels": {"app": "a"}}),
        false => Value::Null,
    };
    object("DestinationRule", json!({"host": "a.b", "exportTo": export, "workloadSelector": selector}))
}

fn localities(names: &[Value]) -> Value {
    let share = 100 / names.len();
    let to: Map<String, Value> =
        names.iter().map(|name| (name.as_str().unwrap().to_owned(), share.into())).collect();
    rule(json!({"loadBalancer": {"localityLbSetting": {"distribute": [{"from": "x", "to": to}]}}}))
}

fn mesh(field: &str, value: &Value) -> Value {
    let text = json!({field: value}).to_string();
    let metadata = json!({"name": "istio", "namespace": "istio-system"});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}})
}

fn server(server: Value) -> Value {
    object("Gateway", json!({"servers": [server]}))
}

fn sni_bound(name: &Value) -> Value {
    let route = json!([{"destination": {"host": "a.b"}}]);
    let tls = json!([{"match": [{"sniHosts": [name]}], "route": route}]);
    object("VirtualService", json!({"hosts": [name], "gateways": ["ns1/gateway"], "tls": tls}))
}

fn object(kind: &str, spec: Value) -> Value {
    object_of(kind, "v1", spec)
}

fn object_of(kind: &str, version: &str, spec: Value) -> Value {
    let metadata = json!({"name": "row", "namespace": "ns5"});
    let version = format!("networking.istio.io/{version}");
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

fn virtual_service(http: Value) -> Value {
    object("VirtualService", json!({"hosts": ["foo.bar"], "http": http}))
}

fn rule(policy: Value) -> Value {
    object("DestinationRule", json!({"host": "a.b", "trafficPolicy": policy}))
}

fn gateway_bound(host: &Value) -> Value {
    let http = json!([{"route": [{"destination": {"host": "a.b"}}]}]);
    object("VirtualService", json!({"hosts": [host], "gateways": ["ns1/gateway"], "http": http}))
}
