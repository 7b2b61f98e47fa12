package dicomweb.site_test

# Nothing is shipped that denies: what denies empty input is the other rules.
test_deny_when_input_is_empty if {
	data.dicomweb.authz.allow == false with input as {}
	data.dicomweb.site.deny == set() with input as {}
}

test_allow_when_the_site_has_no_rules if {
	data.dicomweb.site.permits("metadata", {}) == "every object" with input as data.dicomweb.lib.fixture.good
	data.dicomweb.site.deny == set() with input as data.dicomweb.lib.fixture.good
}

never(_, _) := false

only_ct(_, resource) if resource.modalities == ["CT"]

test_deny_when_the_site_permits_nothing if {
	every action in ["metadata", "retrieve", "search", "store", "report_posture"] {
		i := data.dicomweb.lib.fixture.asks("radiologist", action)
		data.dicomweb.authz.allow == false with input as i with data.dicomweb.site.permits as never
	}
	i := object.union(data.dicomweb.lib.fixture.good, {"rows": [data.dicomweb.lib.fixture.good.resource]})
	data.dicomweb.authz.visible == [] with input as i with data.dicomweb.site.permits as never
}

test_deny_when_the_site_looks_at_objects if {
	i := data.dicomweb.lib.fixture.resource({"modalities": ["MR"]})
	data.dicomweb.authz.decision == {"allow": false, "reasons": ["our-own"], "obligations": []} with input as i
		with data.dicomweb.site.permits as only_ct
		with data.dicomweb.site._none as ["our-own"]
	rows := [data.dicomweb.lib.fixture.good.resource, i.resource]
	j := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"rows": rows})
	data.dicomweb.authz.visible == [0] with input as j with data.dicomweb.site.permits as only_ct
}

# Else a search would show what the site's rule keeps from being read.
test_allow_when_a_search_is_filtered_as_the_site_looks_at_objects if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "search")
	data.dicomweb.authz.decision.obligations == [] with input as i
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i
		with data.dicomweb.site.permits as only_ct
}
