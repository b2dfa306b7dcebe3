{{/* Made by `cargo xtask generate` from xtask/src/generate. Do not edit. */}}

{{- define "jobset.rules.manager-role" -}}
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets
  verbs:
  - delete
  - list
  - watch
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets/status
  verbs:
  - patch
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets/finalizers
  verbs:
  - update
- apiGroups:
  - batch
  resources:
  - jobs
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - batch
  resources:
  - jobs/status
  verbs:
  - patch
- apiGroups:
  - ""
  resources:
  - services
  verbs:
  - create
  - get
  - list
  - watch
- apiGroups:
  - ""
  resources:
  - persistentvolumeclaims
  verbs:
  - create
  - get
  - list
  - watch
- apiGroups:
  - ""
  resources:
  - pods
  verbs:
  - delete
  - list
  - watch
- apiGroups:
  - ""
  resources:
  - pods/status
  verbs:
  - patch
- apiGroups:
  - ""
  resources:
  - nodes
  verbs:
  - get
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
  - patch
{{- end -}}

{{- define "jobset.rules.manager-role.webhook" -}}
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets
  verbs:
  - delete
  - list
  - watch
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets/status
  verbs:
  - patch
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets/finalizers
  verbs:
  - update
- apiGroups:
  - batch
  resources:
  - jobs
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - batch
  resources:
  - jobs/status
  verbs:
  - patch
- apiGroups:
  - ""
  resources:
  - services
  verbs:
  - create
  - get
  - list
  - watch
- apiGroups:
  - ""
  resources:
  - persistentvolumeclaims
  verbs:
  - create
  - get
  - list
  - watch
- apiGroups:
  - ""
  resources:
  - pods
  verbs:
  - delete
  - list
  - watch
- apiGroups:
  - ""
  resources:
  - pods/status
  verbs:
  - patch
- apiGroups:
  - ""
  resources:
  - nodes
  verbs:
  - get
- apiGroups:
  - ""
  resources:
  - nodes
  verbs:
  - list
  - watch
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
  - patch
- apiGroups:
  - admissionregistration.k8s.io
  resources:
  - mutatingwebhookconfigurations
  - validatingwebhookconfigurations
  verbs:
  - list
  - watch
- apiGroups:
  - admissionregistration.k8s.io
  resourceNames:
  - jobset-mutating-webhook-configuration
  resources:
  - mutatingwebhookconfigurations
  verbs:
  - get
  - update
- apiGroups:
  - admissionregistration.k8s.io
  resourceNames:
  - jobset-validating-webhook-configuration
  resources:
  - validatingwebhookconfigurations
  verbs:
  - get
  - update
{{- end -}}

{{- define "jobset.rules.short-names-role" -}}
- apiGroups:
  - discovery.k8s.io
  resources:
  - endpointslices
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
{{- end -}}

{{- define "jobset.rules.proxy-role" -}}
- apiGroups:
  - authentication.k8s.io
  resources:
  - tokenreviews
  verbs:
  - create
- apiGroups:
  - authorization.k8s.io
  resources:
  - subjectaccessreviews
  verbs:
  - create
{{- end -}}

{{- define "jobset.rules.metrics-reader" -}}
- nonResourceURLs:
  - /metrics
  verbs:
  - get
{{- end -}}

{{- define "jobset.rules.leader-election-role" -}}
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - create
  - get
  - list
  - update
  - watch
- apiGroups:
  - ""
  resources:
  - events
  verbs:
  - create
{{- end -}}

{{- define "jobset.rules.manager-secrets-role" -}}
[]
{{- end -}}

{{- define "jobset.rules.manager-secrets-role.webhook" -}}
- apiGroups:
  - ""
  resources:
  - secrets
  verbs:
  - get
  - list
  - update
  - watch
{{- end -}}

{{- define "jobset.rules.editor-role" -}}
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - update
  - watch
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets/status
  verbs:
  - get
{{- end -}}

{{- define "jobset.rules.viewer-role" -}}
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets
  verbs:
  - get
  - list
  - watch
- apiGroups:
  - jobset.x-k8s.io
  resources:
  - jobsets/status
  verbs:
  - get
{{- end -}}

{{- define "jobset.webhooks.mutating" -}}
- admissionReviewVersions:
  - v1
  clientConfig:
    service:
      name: {{ include "jobset.webhookServiceName" . }}
      namespace: {{ .Release.Namespace }}
      path: /mutate-jobset-x-k8s-io-v1alpha2-jobset
  failurePolicy: Fail
  name: mutate-jobset-x-k8s-io-v1alpha2-jobset.x-k8s.io
  rules:
  - apiGroups:
    - jobset.x-k8s.io
    apiVersions:
    - v1alpha2
    operations:
    - CREATE
    resources:
    - jobsets
  sideEffects: None
- admissionReviewVersions:
  - v1
  clientConfig:
    service:
      name: {{ include "jobset.webhookServiceName" . }}
      namespace: {{ .Release.Namespace }}
      path: /mutate--v1-pod
  failurePolicy: Fail
  matchConditions:
  - expression: >-
      has(object.metadata.annotations) &&
      'alpha.jobset.sigs.k8s.io/exclusive-topology' in object.metadata.annotations
    name: asks-for-exclusive-placement
  - expression: "!has(object.metadata.annotations) || !('alpha.jobset.sigs.k8s.io/node-selector' in object.metadata.annotations)"
    name: is-not-placed-by-node-selector
  name: mutate--v1-pod.x-k8s.io
  objectSelector:
    matchExpressions:
    - key: jobset.sigs.k8s.io/jobset-name
      operator: Exists
  rules:
  - apiGroups:
    - ""
    apiVersions:
    - v1
    operations:
    - CREATE
    resources:
    - pods
  sideEffects: None
{{- end -}}

{{- define "jobset.webhooks.validating" -}}
- admissionReviewVersions:
  - v1
  clientConfig:
    service:
      name: {{ include "jobset.webhookServiceName" . }}
      namespace: {{ .Release.Namespace }}
      path: /validate-jobset-x-k8s-io-v1alpha2-jobset
  failurePolicy: Fail
  name: validate-jobset-x-k8s-io-v1alpha2-jobset.x-k8s.io
  rules:
  - apiGroups:
    - jobset.x-k8s.io
    apiVersions:
    - v1alpha2
    operations:
    - CREATE
    - UPDATE
    resources:
    - jobsets
  sideEffects: None
- admissionReviewVersions:
  - v1
  clientConfig:
    service:
      name: {{ include "jobset.webhookServiceName" . }}
      namespace: {{ .Release.Namespace }}
      path: /validate--v1-pod
  failurePolicy: Fail
  matchConditions:
  - expression: >-
      has(object.metadata.annotations) &&
      'alpha.jobset.sigs.k8s.io/exclusive-topology' in object.metadata.annotations
    name: asks-for-exclusive-placement
  - expression: "!has(object.metadata.annotations) || !('alpha.jobset.sigs.k8s.io/node-selector' in object.metadata.annotations)"
    name: is-not-placed-by-node-selector
  name: validate--v1-pod.x-k8s.io
  objectSelector:
    matchExpressions:
    - key: jobset.sigs.k8s.io/jobset-name
      operator: Exists
  rules:
  - apiGroups:
    - ""
    apiVersions:
    - v1
    operations:
    - CREATE
    resources:
    - pods
  sideEffects: None
{{- end -}}
