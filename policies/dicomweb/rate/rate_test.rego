package dicomweb.rate_test

_counted(counters) := object.union(data.dicomweb.lib.fixture.good, {"counters": counters})

_calm := {"requests_minute": 0, "requests_hour": 0, "bytes_hour": 0, "patients_hour": 0, "patient_subjects_hour": 0}

_few := {"*": {"requests_minute": 5, "patients_hour": 3}, "retrieve": {"bytes_hour": 1000, "requests_minute": 2}}

_permits(action) if data.dicomweb.rate.permits(action)

test_deny_when_input_is_empty if {
	data.dicomweb.rate.deny == {"rate-exceeded"} with input as {}
	data.dicomweb.rate.deny == {"rate-exceeded"} with input as {} with data.rates as _few
}

test_allow_when_there_is_no_limit if {
	i := _counted(object.union(_calm, {"requests_minute": 100000}))
	_permits("retrieve") with input as i
	data.dicomweb.rate.deny == set() with input as i
}

test_allow_when_below if {
	i := _counted(object.union(_calm, {"requests_minute": 4, "patients_hour": 2}))
	_permits("metadata") with input as i with data.rates as _few
	data.dicomweb.rate.deny == set() with input as i with data.rates as _few
}

test_deny_when_asked_too_often if {
	i := _counted(object.union(_calm, {"requests_minute": 5}))
	d := data.dicomweb.authz.decision with input as i with data.rates as _few
	d == {"allow": false, "reasons": ["rate-exceeded"], "obligations": []}
}

test_deny_when_too_much_was_had if {
	every counter in ["bytes_hour", "patients_hour", "patient_subjects_hour"] {
		i := _counted(object.union(_calm, {counter: 10}))
		d := data.dicomweb.authz.decision with input as i with data.rates as {"metadata": {counter: 10}}
		d == {"allow": false, "reasons": ["volume-exceeded"], "obligations": []}
	}
}

test_deny_when_both if {
	i := _counted(object.union(_calm, {"requests_minute": 5, "patients_hour": 3}))
	d := data.dicomweb.authz.decision with input as i with data.rates as _few
	d == {"allow": false, "reasons": ["rate-exceeded", "volume-exceeded"], "obligations": []}
}

# Limits of an action hold beside those of every action, and the lower counts.
test_deny_when_the_lower_of_two_limits_is_reached if {
	i := _counted(object.union(_calm, {"requests_minute": 2}))
	not _permits("retrieve") with input as i with data.rates as _few
	_permits("metadata") with input as i with data.rates as _few
	j := _counted(object.union(_calm, {"patients_hour": 3}))
	not _permits("retrieve") with input as j with data.rates as _few
	k := _counted(object.union(_calm, {"requests_minute": 5}))
	not _permits("retrieve") with input as k with data.rates as {"*": {"requests_minute": 5}, "retrieve": {"requests_minute": 50}}
}

_own(rates) := data.dicomweb.lib.fixture.subjects(["radiologist"], {"rates": rates})

test_deny_when_the_subject_has_limits_of_its_own if {
	i := _counted(object.union(_calm, {"requests_minute": 1}))
	not _permits("metadata") with input as i with data.subjects as _own({"*": {"requests_minute": 1}})
}

test_allow_when_the_subject_has_wider_limits if {
	i := _counted(object.union(_calm, {"requests_minute": 5}))
	every rates in [{"*": {"requests_minute": 6}}, {}, {"*": {}}] {
		_permits("metadata") with input as i with data.rates as _few with data.subjects as _own(rates)
	}
}

_profile := {"roles": ["radiologist"], "institutions": "*"}

_by(id) := object.union(
	data.dicomweb.lib.fixture.by_user(id, [], "metadata"),
	{"counters": object.union(_calm, {"requests_minute": 1})},
)

# A user has the limits of its own profile, and never those of the device or of any other user.
test_deny_when_a_user_has_limits_of_its_own if {
	narrow := object.union(_profile, {"rates": {"*": {"requests_minute": 1}}})
	s := _own({"*": {"requests_minute": 100}})
	u := {"dev/a": narrow, "dev/b": _profile}
	not _permits("metadata") with input as _by("dev/a") with data.users as u with data.subjects as s with data.rates as _few
	_permits("metadata") with input as _by("dev/b") with data.users as u with data.subjects as s with data.rates as _few
	_permits("metadata") with input as _by("dev/c") with data.users as u with data.subjects as s with data.rates as _few
	others := {"*": narrow, "dev/b": _profile}
	not _permits("metadata") with input as _by("dev/c") with data.users as others with data.rates as _few
	_permits("metadata") with input as _by("dev/b") with data.users as others with data.rates as _few
}

test_deny_when_counters_are_missing_or_malformed if {
	good := object.remove(data.dicomweb.lib.fixture.good, ["counters"])
	every counters in [null, [], "0", 0, false, {"requests_minute": null}, {"requests_minute": "0"}, {}] {
		i := object.union(good, {"counters": counters})
		not _permits("metadata") with input as i with data.rates as {"*": {"requests_minute": 5}}
		data.dicomweb.rate.deny == {"rate-exceeded"} with input as i with data.rates as {"*": {"requests_minute": 5}}
	}
	not _permits("metadata") with input as good
	data.dicomweb.rate.deny == {"rate-exceeded"} with input as good
}

# A limit that cannot be read is a limit of nothing.
test_deny_when_limits_are_malformed if {
	every rates in [
		null,
		[],
		"none",
		{"*": null},
		{"metadata": 5},
		{"*": {"requests_minute": "5"}},
		{"*": {"requests_minute": null}},
		{"*": {"requests_minute": -1}},
		{"*": {"request_minute": 5}},
	] {
		not _permits("metadata") with input as _counted(_calm) with data.rates as rates
		data.dicomweb.rate.deny == {"rate-exceeded"} with input as _counted(_calm) with data.rates as rates
		not _permits("metadata") with input as _counted(_calm) with data.subjects as _own(rates)
	}
}

test_deny_when_every_row_would_be_too_many if {
	i := object.union(_counted(object.union(_calm, {"requests_minute": 5})), {"rows": [data.dicomweb.lib.fixture.good.resource]})
	data.dicomweb.authz.visible == [] with input as i with data.rates as _few
	data.dicomweb.authz.visible == [0] with input as i
}
