package dicomweb.resource_test

test_deny_when_input_is_empty if {
	data.dicomweb.resource.deny == {"resource-unknown"} with input as {}
}

test_deny_when_the_object_is_not_known if {
	every action in ["metadata", "retrieve", "render", "bulkdata", "share_create"] {
		i := object.union(data.dicomweb.lib.fixture.asks("radiologist", action), {"resource": {"known": false}})
		data.dicomweb.resource.deny == {"resource-unknown"} with input as i
	}
}

test_deny_when_known_is_not_a_boolean if {
	i := object.union(data.dicomweb.lib.fixture.good, {"resource": {"known": "true"}})
	data.dicomweb.resource.deny == {"resource-unknown"} with input as i
}

test_deny_when_a_part_has_no_header if {
	r := {"request": {"instance": "1.2.3.4"}, "resource": {"known": false}}
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "store"), r)
	data.dicomweb.resource.deny == {"resource-unknown"} with input as i
}

test_allow_when_the_object_is_known if {
	count(data.dicomweb.resource.deny) == 0 with input as data.dicomweb.lib.fixture.good
}

test_allow_when_nothing_has_to_be_known_yet if {
	every action in ["search", "store"] {
		i := object.union(data.dicomweb.lib.fixture.asks("radiologist", action), {"resource": {"known": false}})
		count(data.dicomweb.resource.deny) == 0 with input as i
	}
}
