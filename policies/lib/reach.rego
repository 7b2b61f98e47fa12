# METADATA
# title: What a subject reaches
# description: |
#   Patients, institutions, departments and modalities: the dimensions in which the objects that a subject may have are
#   bounded. Bounds are names by dimension (data.dicomweb.prepared); a dimension that they do not list is not bounded.
package dicomweb.lib.reach

# METADATA
# description: |
#   Whether who holds these bounds, by roles that count, reaches an object. A decision asks about one object and visible
#   about every row, both here, so that they cannot come to differ.
#
#   The holder has to reach the patient and every institution and department of the object. Each institution has to be
#   reached by a role that covers every modality and department of the object: which series are of which institution is not
#   known here. An object of which no institution or no modality is known is reached by nobody; one of which no department
#   is known only by who is not held to any.
reached(bounds, roles, object) if {
	object.known == true
	object.institutions[0]
	object.modalities[0]
	is_array(object.departments)
	_ := object.patient_id
	every member, names in bounds { data.dicomweb.lib.reach.inside(names, object[member]) }
	every member, names in roles[0].bounds { data.dicomweb.lib.reach.inside(names, object[member]) }
} else if {
	# Several roles, each of which reaches some of its institutions.
	count(roles) > 1
	object.known == true
	object.institutions[0]
	object.modalities[0]
	is_array(object.departments)
	_ := object.patient_id
	every member, names in bounds { data.dicomweb.lib.reach.inside(names, object[member]) }
	covering := [role | some role in roles; data.dicomweb.lib.reach.covers(role, object)]
	every institution in object.institutions { data.dicomweb.lib.reach.by_some(covering, institution) }
}

# METADATA
# description: Whether some role reaches an institution.
by_some(roles, institution) if {
	some role in roles
	data.dicomweb.lib.reach.holds(role.bounds, "institutions", institution)
}

# METADATA
# description: Whether a role covers every modality and department of an object.
covers(role, object) if {
	data.dicomweb.lib.reach.holds(role.bounds, "modalities", object.modalities)
	data.dicomweb.lib.reach.holds(role.bounds, "departments", object.departments)
}

# METADATA
# description: Whether what an object says in one dimension is within bounds.
holds(bounds, member, value) if {
	not bounds[member]
} else if {
	data.dicomweb.lib.reach.inside(bounds[member], value)
}

# METADATA
# description: Whether a name, or every one of a list of which some is known, is among those that are granted.
inside(names, value) if {
	names[value]
} else if {
	is_array(value)
	value[0]
	every name in value { names[name] }
}
