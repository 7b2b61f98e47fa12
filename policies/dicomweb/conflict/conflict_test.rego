package dicomweb.conflict_test

_part(resource) := object.union(
	data.dicomweb.lib.fixture.asks("technologist", "store"),
	{"request": {"instance": "1.2.3.4"}, "resource": resource},
)

_denied := {"allow": false, "reasons": ["study-mismatch"], "obligations": []}

# Without an action nothing is stored, and the action is refused elsewhere.
test_deny_when_input_is_empty if {
	data.dicomweb.authz.allow == false with input as {}
	data.dicomweb.conflict.deny == {"study-mismatch"} with input as {"request": {"action": "store"}}
}

test_allow_when_a_part_contradicts_nothing if {
	d := data.dicomweb.authz.decision with input as _part({"conflicts": []})
	d.allow
}

test_deny_when_a_part_contradicts_its_study if {
	every conflicts in [["PatientID"], ["AccessionNumber", "PatientID"], [""]] {
		data.dicomweb.authz.decision == _denied with input as _part({"conflicts": conflicts})
	}
}

test_allow_when_the_conflict_is_tolerated if {
	l := object.union(data.limits, {"store": {"tolerated_conflicts": ["StudyDate", "AccessionNumber"]}})
	d := data.dicomweb.authz.decision with input as _part({"conflicts": ["AccessionNumber"]}) with data.limits as l
	d.allow
}

test_deny_when_only_some_conflicts_are_tolerated if {
	l := object.union(data.limits, {"store": {"tolerated_conflicts": ["AccessionNumber"]}})
	i := _part({"conflicts": ["AccessionNumber", "PatientID"]})
	data.dicomweb.authz.decision == _denied with input as i with data.limits as l
}

test_deny_when_conflicts_are_not_known if {
	p := _part({})
	r := object.remove(p.resource, ["conflicts"])
	i := object.union(object.remove(p, ["resource"]), {"resource": r})
	data.dicomweb.authz.decision == _denied with input as i
	every conflicts in [null, "", "PatientID", {}, 0, false] {
		data.dicomweb.authz.decision == _denied with input as _part({"conflicts": conflicts})
	}
}

test_deny_when_there_is_no_limit if {
	l := object.remove(data.limits, ["store"])
	data.dicomweb.authz.decision == _denied with input as _part({"conflicts": ["PatientID"]}) with data.limits as l
}

test_allow_when_there_is_no_limit_and_no_conflict if {
	l := object.remove(data.limits, ["store"])
	d := data.dicomweb.authz.decision with input as _part({"conflicts": []}) with data.limits as l
	d.allow
}

test_allow_when_the_store_has_no_part_yet if {
	q := data.dicomweb.lib.fixture.asks("technologist", "store")
	i := object.union(object.remove(q, ["resource"]), {"resource": {"known": false}})
	d := data.dicomweb.authz.decision with input as i
	d.allow
}

test_allow_when_nothing_is_stored if {
	i := data.dicomweb.lib.fixture.resource({"conflicts": ["PatientID"]})
	count(data.dicomweb.conflict.deny) == 0 with input as i
}
