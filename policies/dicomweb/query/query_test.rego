package dicomweb.query_test

# Without an action there is no search to judge, and the action is refused elsewhere; with one there must be a query.
test_deny_when_input_is_empty if {
	data.dicomweb.authz.allow == false with input as {}
	data.dicomweb.query.deny == {"query-not-permitted"} with input as {"request": {"action": "search"}}
}

test_deny_when_a_masked_attribute_is_matched if {
	every path in ["00100010", "00100020", "00400275.00100010", "00100020.00080060"] {
		m := {"request": {"query": {"match": {path: "X"}}}}
		i := object.union(data.dicomweb.lib.fixture.asks("researcher", "search"), m)
		data.dicomweb.query.deny == {"query-not-permitted"} with input as i
	}
}

test_allow_when_an_open_attribute_is_matched if {
	m := {"request": {"query": {"match": {"00080060": "CT"}}}}
	i := object.union(data.dicomweb.lib.fixture.asks("researcher", "search"), m)
	count(data.dicomweb.query.deny) == 0 with input as i
}

test_allow_when_nothing_is_masked if {
	m := {"request": {"query": {"match": {"00100010": "X"}}}}
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), m)
	count(data.dicomweb.query.deny) == 0 with input as i
}
