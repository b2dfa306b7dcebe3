{{/* Name of the chart's objects without the release. */}}
{{- define "jobset.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Prefix of the names of all objects. */}}
{{- define "jobset.fullname" -}}
{{- $name := include "jobset.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Deployment, ServiceAccount and the manager's own role. */}}
{{- define "jobset.controllerName" -}}
{{ include "jobset.fullname" . }}-controller
{{- end -}}

{{- define "jobset.webhookServiceName" -}}
{{ include "jobset.fullname" . }}-webhook-service
{{- end -}}

{{- define "jobset.webhookSecretName" -}}
{{ include "jobset.fullname" . }}-webhook-server-cert
{{- end -}}

{{- define "jobset.metricsServiceName" -}}
{{ include "jobset.fullname" . }}-metrics-service
{{- end -}}

{{- define "jobset.metricsSecretName" -}}
{{ include "jobset.fullname" . }}-metrics-server-cert
{{- end -}}

{{- define "jobset.webhookCertificateName" -}}
{{ include "jobset.name" . }}-cert
{{- end -}}

{{- define "jobset.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What selectors look for; never changes over the life of a release. */}}
{{- define "jobset.selectorLabels" -}}
app.kubernetes.io/name: {{ include "jobset.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "jobset.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.Version | replace "+" "_" | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{ include "jobset.selectorLabels" . }}
{{- end -}}

{{- define "jobset.controllerSelectorLabels" -}}
{{ include "jobset.selectorLabels" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "jobset.controllerLabels" -}}
{{ include "jobset.labels" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "jobset.webhookLabels" -}}
{{ include "jobset.labels" . }}
app.kubernetes.io/component: webhook
{{- end -}}

{{/* A role, and its binding to the manager. Takes root, kind, name, binding, rules. */}}
{{- define "jobset.boundRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- if eq .kind "Role" }}
  namespace: {{ .root.Release.Namespace }}
  {{- end }}
  labels:
    {{- include "jobset.controllerLabels" .root | nindent 4 }}
rules:
{{ include .rules .root }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .binding }}
  {{- if eq .kind "Role" }}
  namespace: {{ .root.Release.Namespace }}
  {{- end }}
  labels:
    {{- include "jobset.controllerLabels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
- kind: ServiceAccount
  name: {{ include "jobset.controllerName" .root }}
  namespace: {{ .root.Release.Namespace }}
{{- end -}}
