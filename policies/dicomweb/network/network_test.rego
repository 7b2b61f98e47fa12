package dicomweb.network_test

_from(network) := object.union(data.dicomweb.lib.fixture.good, {"environment": {"network": network}})

_open(networks) if data.dicomweb.network.open({"networks": networks})

test_deny_when_input_is_empty if {
	not _open(["clinic"]) with input as {}
	data.dicomweb.network.deny == set() with input as {}
}

test_allow_when_a_role_names_no_networks if {
	data.dicomweb.network.open({}) with input as {}
	_open("*") with input as {}
}

test_allow_when_the_network_is_named if {
	_open(["clinic"]) with input as _from("clinic")
	_open(["other", "clinic"]) with input as _from("clinic")
}

test_deny_when_the_network_is_another if {
	every network in ["guests", "Clinic", " clinic", "*"] {
		not _open(["clinic"]) with input as _from(network)
	}
}

# The empty name stands for no network, whatever a role lists.
test_deny_when_the_network_is_none if {
	every networks in [["clinic"], [""], ["", "clinic"]] {
		not _open(networks) with input as _from("")
	}
}

test_deny_when_networks_are_no_list if {
	every networks in [null, false, "clinic", {"a": "clinic"}, {"clinic": true}, [], 1] {
		not _open(networks) with input as _from("clinic")
	}
}

test_deny_when_the_network_is_malformed if {
	every network in [null, false, 1, ["clinic"]] {
		not _open(["clinic"]) with input as _from(network)
	}
}

_roles(networks) := {"radiologist": data.dicomweb.lib.fixture.role({"networks": networks})}

test_deny_when_the_only_role_is_closed if {
	d := data.dicomweb.authz.decision with input as _from("guests") with data.roles as _roles(["clinic"])
	d == {"allow": false, "reasons": ["network-not-permitted"], "obligations": []}
	e := data.dicomweb.authz.decision with input as _from("clinic") with data.roles as _roles(["clinic"])
	e.allow
}

test_deny_when_hours_and_network_are_wrong if {
	r := {"radiologist": data.dicomweb.lib.fixture.role({"networks": ["clinic"], "hours": "day"})}
	d := data.dicomweb.authz.decision with input as _from("guests") with data.roles as r
	d == {"allow": false, "reasons": ["network-not-permitted", "outside-hours"], "obligations": []}
}

# A network never opens: what a role does not permit, it does not permit from anywhere.
test_deny_when_the_role_lacks_the_action_from_anywhere if {
	i := object.union(_from("clinic"), {"request": {"action": "render"}})
	d := data.dicomweb.authz.decision with input as i with data.roles as _roles(["clinic"])
	d == {"allow": false, "reasons": ["action-not-permitted"], "obligations": []}
}
