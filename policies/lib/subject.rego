# METADATA
# title: What a subject holds
# description: |
#   Roles and institutions of the subject, from data. A role counts only where it permits action and purpose together, so
#   that the rights of two roles never add up to one that neither gives.
package dicomweb.lib.subject

profile := data.subjects[input.subject.certificate.name]

# METADATA
# description: |
#   Roles that permit the action for the purpose, where the certificate's authority may ask for that action. Without a
#   stated purpose each role's own default is taken. No role: the request is denied.
suited contains name if {
	input.request.action in input.subject.certificate.authority_actions
	input.request.purpose == null
	some name in profile.roles
	role := data.roles[name]
	input.request.action in role.actions
	role.default_purpose in role.purposes
}

suited contains name if {
	input.request.action in input.subject.certificate.authority_actions
	code := input.request.purpose.code
	data.purposes[code]
	some name in profile.roles
	role := data.roles[name]
	input.request.action in role.actions
	code in role.purposes
}

# METADATA
# description: Those under which metadata may be read for this purpose, whatever the action is.
readers contains name if {
	"metadata" in input.subject.certificate.authority_actions
	some name in purposeful
	"metadata" in data.roles[name].actions
}

# METADATA
# description: Roles that permit the action for some purpose.
acting contains name if {
	input.request.action in input.subject.certificate.authority_actions
	some name in profile.roles
	input.request.action in data.roles[name].actions
}

# METADATA
# description: Roles that permit the purpose for some action.
purposeful contains name if {
	input.request.purpose == null
	some name in profile.roles
	role := data.roles[name]
	role.default_purpose in role.purposes
}

purposeful contains name if {
	code := input.request.purpose.code
	data.purposes[code]
	some name in profile.roles
	code in data.roles[name].purposes
}

# METADATA
# description: Roles of the subject that reach every institution, also objects that name none.
everywhere contains name if {
	profile.institutions == "*"
	some name in profile.roles
	data.roles[name].institutions == "*"
}

# METADATA
# description: By role, the institutions reached by name. The empty name is never granted.
reach[name] := institutions if {
	some name in profile.roles
	institutions := {institution |
		some institution in _names(data.roles[name].institutions, profile.institutions)
		institution != ""
	}
}

_names("*", subject) := subject if is_array(subject)

_names(role, "*") := role if is_array(role)

_names(role, subject) := [institution | some institution in role; institution in subject] if {
	is_array(role)
	is_array(subject)
}
