# METADATA
# title: Authorization
# description: |
#   The two entry points of the contract, version 1. What allows is named here, condition by condition, and nothing else
#   allows. The rules that deny say which condition did not hold: they are asked for reasons only where one does not. A
#   condition that went missing does not hold, and a denial without a reason is no decision: the proxy denies then too.
package dicomweb.authz

default allow := false

allow if decision.allow

# METADATA
# title: Decision
# description: "{allow, reasons, obligations}; reasons are sorted codes, empty if and only if allow is true."
# entrypoint: true
decision := {
	"allow": true,
	"reasons": [],
	"obligations": sort(data.dicomweb.obligations.required),
} if {
	input.version == 1
	input.request.action != "report_posture"
	count(data.dicomweb.lib.subject.suited) > 0
	data.dicomweb.posture.fit(input.request.action, input.device.posture)
	data.dicomweb.resource.reached(input.request, input.resource)
	data.dicomweb.conflict.tolerated(input.request, input.resource)
} else := {
	"allow": true,
	"reasons": [],
	"obligations": [],
} if {
	# By what the device is, and not by a role of who uses it: so nothing that is attached to a role comes with it.
	input.version == 1
	input.request.action == "report_posture"
	data.dicomweb.subject.reports
	data.dicomweb.posture.fit(input.request.action, input.device.posture)
} else := {
	"allow": false,
	"reasons": sort(reasons),
	"obligations": _of_denials,
}

# How a denial is answered: as that of an absent object.
_of_denials := [obligation |
	some obligation in data.dicomweb.obligations.required
	obligation.type == "hide"
]

# METADATA
# description: Codes of what denies. Empty if and only if the conditions above hold, which is tested.
reasons := union({
	data.dicomweb.conflict.deny,
	data.dicomweb.institution.deny,
	data.dicomweb.modality.deny,
	data.dicomweb.patient.deny,
	data.dicomweb.posture.deny,
	data.dicomweb.resource.deny,
	data.dicomweb.subject.deny,
})

# METADATA
# title: Visible rows
# description: |
#   Indices into input.rows of the objects of which the metadata would be allowed to the same subject, on the same
#   device, for the same purpose. Says the same as the decision, without being asked a hundred times.
# entrypoint: true
default visible := []

visible := data.dicomweb.lib.reach.granted(data.dicomweb.lib.subject.roles("metadata"), input.rows, _named) if {
	input.version == 1
	is_array(input.rows)
	data.dicomweb.posture.fit("metadata", input.device.posture)
}

_named := {
	"patients": {row.patient_id | some row in input.rows},
	"institutions": {name |
		some row in input.rows
		some name in row.institutions
	},
	"modalities": {name |
		some row in input.rows
		some name in row.modalities
	},
}
